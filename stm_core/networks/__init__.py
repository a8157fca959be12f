"""The two networks, behind one interface. They know no memory, no clip and no prompt.

interface     the four calls of a network, and how objects share a pixel
compact       the bundled network; its parts are in `compact_layers`, its frozen trunk in `efficientnet`
paper         the network of the paper, for its published checkpoint
weights       `load_model`: a network on its device, ready to run; `weight_files` reads the files
packed        faster convolutions on CPUs
engines       PyTorch, or OpenVINO in int8: which is chosen, and why
openvino_runtime  loads OpenVINO; only `openvino_graph` and `openvino_network` use it too
ranges        what int8 needs to know besides the weights
"""
