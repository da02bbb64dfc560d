"""GGUF files: their keys made into a configuration, their tensors into weights, their tokenizer into one."""
