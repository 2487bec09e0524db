# %% [markdown]
# # A sensor model for a microcontroller
#
# Three channels, 128 steps, three kinds of movement. The target `micro` decides layout, inputs and outputs.
# %%
import keras
import numpy as np
import tightfit
generator = np.random.default_rng(0)
y = generator.integers(0, 3, 600)
time = np.linspace(0, 6.28, 128)
x = np.stack([np.sin(np.outer([1, 2, 3], time) * (k + 1)).T + generator.normal(0, 0.6, (128, 3)) for k in y])
x = x.astype(np.float32)
model = keras.Sequential(
    [
        keras.layers.Input((128, 3)),
        keras.layers.Conv1D(8, 5, 2, activation="relu"),
        keras.layers.MaxPooling1D(2),
        keras.layers.Flatten(),
        keras.layers.Dense(3, activation="softmax"),
    ]
)
model.compile("adam", "sparse_categorical_crossentropy")
model.fit(x[:400], y[:400], epochs=6, verbose=0)
# %%
made = tightfit.quantize(model, "int8", "sensor.tflite", data=x[:400], target="micro")
made
# %%
tightfit.evaluate([model, made.path], (x[400:], y[400:]))
# %% [markdown]
# Whether tflite-micro runs every op, and the memory that it needs.
# %%
tightfit.check(made.path, "micro", memory="64KiB")
