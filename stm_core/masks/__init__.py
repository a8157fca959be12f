"""Masks as arrays, files and colours, and their scores. It knows no clip and no network, and needs no torch.

mask_files  reads and writes masks
overlay     draws them over a frame
heat        draws weights over a frame; `difference` shows where several masks of it differ
foreign     ids from pictures that other programs made: black and white, grey, palette, colours, soft edges
outlines    loops along the edges of pixels; `rle` runs of equal pixels
palette     which ids there are, and their colours
metrics     J and F, as DAVIS scores masks
"""
