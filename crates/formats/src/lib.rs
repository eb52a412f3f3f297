//! Files of the outside world: safetensors and the Hugging Face layout
