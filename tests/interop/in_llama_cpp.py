"""A file in llama.cpp, as the checks of this directory run it."""

import xllamacpp


def open_in_llama_cpp(file):
    """llama.cpp with the file, on one thread, with keys and values of attention in f32."""
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(file)
    parameters.n_ctx, parameters.n_parallel, parameters.cpuparams.n_threads = 512, 1, 1
    parameters.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    parameters.cache_type_k = parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    parameters.verbosity = -1
    return xllamacpp.Server(parameters)
