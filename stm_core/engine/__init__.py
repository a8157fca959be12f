"""The engine: a clip and its prompts go in, the masks of each frame come out. It writes no files.

propagate    a whole clip, frame by frame; `step` is one frame, and `result` what comes out for it
prompts      what may be given for a frame: masks and clicks; `given` puts it into the frame's masks
clicks       makes a mask of clicks: `click_reader` asks the network, of the whole frame, then `closer`, and
             keeps the parts at the clicks (`click_parts`); `corrections` of a mask;
             `click_choices`, `boxes`; `click_answers` are kept
seen         the part of a frame that the network sees
decoding     from what was read to logits, object by object where they are far apart
encoding     from masks to what is remembered of them
look         where a pixel looked in memory, and what memory says there
whereabouts  where an object may be, from where it was on the frame before
geometry     scaling, padding and coordinates
forecast     bytes that a clip will need, before it runs
threads      reading ahead of the computation and writing behind it
"""
