# %% [markdown]
# # From a trained Keras model to the file that ships
#
# Twelve lines: train a small classifier, search with arrays and a metric of your own, look at the result.
# %%
import keras
import numpy as np
import tightfit
from tightfit import demo
x, y = (np.stack(column) for column in zip(*demo.everything()))
layers = [keras.layers.Conv2D(16, 3, 2, activation="relu"), keras.layers.Flatten(), keras.layers.Dense(10)]
model = keras.Sequential([keras.layers.Input((28, 28, 1)), *layers])
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit(x[:1000, 0], y[:1000], epochs=4, verbose=0)
top2 = lambda outputs, labels: [label in np.argsort(row)[-2:] for row, label in zip(outputs, labels)]
report = tightfit.optimize(model, (x[1000:, 0], y[1000:]), "out", max_drop=0.05, metric=top2, effort="quick")
report
# %% [markdown]
# `report.path` is the file that ships; every number is in `report.to_dict()` and in `out/report.html`.
# %%
report.path, report.chosen.scheme, report.chosen.size_bytes
