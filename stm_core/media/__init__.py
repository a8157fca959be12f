"""Clips and pictures as files: read, probe, write. It knows no mask and no network, and needs no torch.

video       start here: `probe`, `read_video`, `read_frame`
probe       what a clip is; `containers` decides what may be opened at all
decode      frames out of a container; `frame_index` knows where one can seek, `upright` turns the frames and
            mends their colours
pictures    clips made of pictures; `webp` and `still` open them
write       a film with the times of its source; `kinds` says which, `coded` makes its frames, `sound` carries
            the audio over
files       files that are whole or not there; `written` knows which of them are ours
limits      how large a clip may be
"""
