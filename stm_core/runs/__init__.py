"""Runs: the engine on whole clips, with files at both ends.

plan          which frames get a mask, from which prompts; the checks before a run
prompt_files  prompts from a file or a text; `recipe` is the way back: a run as command and as Python
clip          the loop over a clip that the command, the API and the page share: `segment_clip`, `run`;
              `source` gives its frames, `agreement` ends it early, `review` says which frames to look at,
              `record` what is known of one
folder        the same into a folder: masks, overlay and report; `output` writes the files
report        the numbers of a run, as `report.json` states them
look_run      where a pixel of a clip looks; `look_picture` draws it
compare       a clip with several memories, sizes or networks, which are `compare_cases`; `compare_table`
              scores them, `compare_film` shows them side by side
evaluate      scores on a DAVIS folder; `review_score` counts the wrong frames that `review` finds
batch         many clips, each in a process of its own; `batch_list` reads the list, `batch_run` runs it
bench         speed and memory on a clip from `made_up`: `bench_case` measures one, `bench_table` prints them;
              `profile` shows where a frame's time goes, `machine` names the processor, `own_process` keeps
              what is measured apart
"""
