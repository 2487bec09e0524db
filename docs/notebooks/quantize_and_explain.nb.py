# %% [markdown]
# # Quantize, measure, explain
#
# Look at the data first: what was understood of it, and what would be measured.
# %%
import tightfit
from tightfit import demo
tightfit.describe_data("tightfit.demo:evaluation", demo.MODEL, limit=100)
# %% [markdown]
# int8 with calibration samples, then its accuracy beside the float model on other samples.
# %%
made = tightfit.quantize(demo.MODEL, "int8", "int8.tflite", data="tightfit.demo:calibration")
made
# %%
tightfit.evaluate([demo.MODEL, made.path], "tightfit.demo:evaluation", limit=200)
# %% [markdown]
# Which op adds the most error, and why.
# %%
tightfit.explain(
    demo.MODEL, made.path, "tightfit.demo:everything", calibration=50, evaluation=50, remedies=False
)
