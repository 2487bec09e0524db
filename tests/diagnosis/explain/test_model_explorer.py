"""The overlay of ``explain`` is read by the real ai-edge-model-explorer (``make test-integrations``)."""

from __future__ import annotations

import json

import numpy as np
import pytest

import tightfit
from support.models import conv_net
from tightfit.graph.writer import write_model

explorer = pytest.importorskip(
    "model_explorer", reason="needs ai-edge-model-explorer: the extra 'integrations'"
)
pytestmark = pytest.mark.filterwarnings("default")  # of the package


@pytest.fixture(scope="module")
def explained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explorer")
    write_model(conv_net(), folder / "net.tflite")
    x = np.random.default_rng(0).standard_normal((12, 16, 16, 3)).astype(np.float32)
    tightfit.quantize(folder / "net.tflite", "int8", folder / "int8.tflite", data=x, effort=0, doctor=False)
    found = tightfit.explain(folder / "net.tflite", folder / "int8.tflite", x, remedies=False)
    (folder / "overlay.json").write_text(found.overlay)
    return folder, json.loads(found.overlay)


def graphs_of(path):
    """What the explorer shows of a file: graph → names of the output tensors, and identifiers of nodes."""
    from model_explorer.builtin_tflite_flatbuffer_adapter import (  # noqa: PLC0415 - an extra
        BuiltinTfliteFlatbufferAdapter,
    )

    shown = BuiltinTfliteFlatbufferAdapter().convert(str(path), {})
    found = {}
    for collection in shown["graphCollections"]:
        for graph in collection.graphs:
            keys = {node["id"] for node in graph["nodes"]}
            for node in graph["nodes"]:
                for output in node.get("outputsMetadata", ()):
                    keys |= {a["value"] for a in output["attrs"] if a["key"] == "tensor_name"}
            found[graph["id"]] = keys
    return found


def test_every_value_belongs_to_a_node_that_the_explorer_shows(explained):
    folder, data = explained
    shown = graphs_of(folder / "int8.tflite")
    for graph, facts in data.items():
        assert graph in shown
        assert facts["results"]
        assert set(facts["results"]) <= shown[graph]


def test_the_explorers_own_classes_write_the_same_node_data(explained):
    folder, data = explained
    builder = explorer.node_data_builder
    graphs = {
        graph: builder.GraphNodeData(
            results={key: builder.NodeDataResult(**value) for key, value in facts["results"].items()},
            gradient=[builder.GradientItem(**stop) for stop in facts["gradient"]],
        )
        for graph, facts in data.items()
    }
    written = json.loads(builder.ModelNodeData(graphsData=graphs).to_json_string())
    for graph, facts in data.items():
        assert written[graph]["results"] == facts["results"]
        assert written[graph]["gradient"] == facts["gradient"]
    config = explorer.config().add_model_from_path(str(folder / "int8.tflite"))
    config.add_node_data_from_path(str(folder / "overlay.json"))
    assert "overlay.json" in config.to_url_param_value()
