"""How what a caller passes is read: sizes, images, inputs of a model, samples that shape and measure."""
