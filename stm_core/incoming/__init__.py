"""Masks that other programs made, for a clip of ours: frame by frame, as labels.

masks          start here: `read_masks` finds out what kind of file it is
mask_pictures  a folder or ZIP of mask pictures; `mattes` films: black and white, or with alpha
coco_reader    COCO JSON; `cvat_reader` CVAT for images 1.1; `polygons` of both
numbering      which frame and which object something belongs to
"""
