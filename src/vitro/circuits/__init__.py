"""Components taken out of a model and rewired. Knows the engine."""

from vitro.circuits.circuit import Circuit
from vitro.circuits.constants import Constants, counterfactual, resampled
from vitro.circuits.drawing import boxes_and_arrows
from vitro.circuits.edges import cut_edges
from vitro.circuits.export import from_mib, to_mib
from vitro.circuits.graph import Graph, Mask
from vitro.circuits.nodes import CONSTANTS, INPUT, LOGITS, CircuitError, Constant, Edge, Kind, Node, Pin, node, stream
from vitro.circuits.presets import POST, WORDS, Cast, setups
from vitro.circuits.recast import recast
from vitro.circuits.run import run_circuits

__all__ = [
    "CONSTANTS",
    "INPUT",
    "LOGITS",
    "POST",
    "WORDS",
    "Cast",
    "Circuit",
    "CircuitError",
    "Constant",
    "Constants",
    "Edge",
    "Graph",
    "Kind",
    "Mask",
    "Node",
    "Pin",
    "boxes_and_arrows",
    "counterfactual",
    "cut_edges",
    "from_mib",
    "node",
    "recast",
    "resampled",
    "run_circuits",
    "setups",
    "stream",
    "to_mib",
]
