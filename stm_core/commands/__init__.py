"""The command line: `python -m stm_core COMMAND`.

cli             the commands, what they print and their exit codes; `inside` has `look` and `compare`
inputs          the clip, the prompts and the network that the options name
options         their options, `shared_options` those of every command that runs a network; `option_values`
                reads single values, `flags` makes options of a dataclass
train           the command `train`; `training_tools` and `choose` are tools around training
signals         Ctrl-C and `kill`
"""
