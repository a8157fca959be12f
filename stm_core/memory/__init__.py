"""The memory of a clip: which frames are kept, and how they are read. It knows no network.

policy     start here: what a strategy decides, the table of presets, how far each frame is trusted
bank       `MemoryBank`: the frames held now; write, read, look, evict; `known` says which objects they know
storage    where their keys and values lie; `apart` stores values of an object only near its mask
readout    the read itself, a softmax over all stored positions; `attention` is that softmax, and `plain`
           the same without its maximum
window     the part of a frame that is stored
footprint  bytes of a stored frame and of a read, in closed form
"""
