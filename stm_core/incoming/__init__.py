"""Masks that other programs made, for a clip of ours: frame by frame, as labels.

masks     start here: `read_masks` looks what a file is
pictures  a folder or ZIP of mask pictures, and a black and white film
coco      COCO JSON; `cvat` CVAT for images 1.1
numbering which frame and which object something belongs to
"""
