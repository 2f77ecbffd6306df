"""Fine-tuning on many processes and machines: a job in a folder, torchrun over it, and the model that comes back."""
