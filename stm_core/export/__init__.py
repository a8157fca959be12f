"""Finished runs in the formats that other programs read.  It knows no network and needs no torch.

registry  the one table of formats: the command, the page and the API read it
order     what is exported and how: the run (`finished_run`), its frames, options, file names (`names`)
sinks     where the files go: a folder, or one file to download
writing   `export` into a folder, replacing nothing that is not ours
The other files hold one format each, or a few of one kind.  A format has two functions: `names` says which
files it makes, `write` makes them.
"""
