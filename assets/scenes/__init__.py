"""The example clips, painted from numbers: one class a scene, scene.frame(t) paints frame t onto a Canvas.

A scene has a title, one sentence for the visitor, the names of its objects and its number of frames.
"""

from .balloon import Balloon
from .jellyfish import Jelly
from .koi import Koi

SCENES = {"balloon": Balloon, "koi": Koi, "jellyfish": Jelly}
