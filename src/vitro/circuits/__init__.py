"""Components taken out of a model and rewired. Knows the engine."""

from vitro.circuits.circuit import Circuit
from vitro.circuits.constants import Constants, counterfactual, resampled
from vitro.circuits.drawing import MOST_BOXES, boxes_and_arrows, carried
from vitro.circuits.edges import cut_edges
from vitro.circuits.export import from_mib, to_circuit_file, to_importances, to_mib
from vitro.circuits.files import from_text, read_circuit
from vitro.circuits.graph import Graph, Mask
from vitro.circuits.in_model import InModel
from vitro.circuits.mib import MibFile, read_mib
from vitro.circuits.node_sets import run_node_sets
from vitro.circuits.nodes import CONSTANTS, INPUT, LOGITS, CircuitError, Constant, Edge, Kind, Node, Pin, node, stream
from vitro.circuits.presets import POST, WORDS, Cast, setups
from vitro.circuits.recast import recast
from vitro.circuits.run import run_circuits
from vitro.circuits.within import run_masks, run_within

__all__ = [
    "CONSTANTS",
    "INPUT",
    "LOGITS",
    "MOST_BOXES",
    "POST",
    "WORDS",
    "Cast",
    "Circuit",
    "CircuitError",
    "Constant",
    "Constants",
    "Edge",
    "Graph",
    "InModel",
    "Kind",
    "Mask",
    "MibFile",
    "Node",
    "Pin",
    "boxes_and_arrows",
    "carried",
    "counterfactual",
    "cut_edges",
    "from_mib",
    "from_text",
    "node",
    "read_circuit",
    "read_mib",
    "recast",
    "resampled",
    "run_circuits",
    "run_masks",
    "run_node_sets",
    "run_within",
    "setups",
    "stream",
    "to_circuit_file",
    "to_importances",
    "to_mib",
]
