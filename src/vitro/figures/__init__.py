"""Pictures: pure functions from tables to Altair charts. They know polars and Altair, never a model."""

from vitro.figures.answer_tables import answer_tables
from vitro.figures.atlas_answers import atlas_answers
from vitro.figures.atlas_dots import atlas_depths, atlas_overlaps, atlas_seconds
from vitro.figures.atlas_measures import atlas_sizes, atlas_training
from vitro.figures.attention_patterns import attention_patterns
from vitro.figures.circuit import circuit_drawing
from vitro.figures.circuit_answers import circuit_answers
from vitro.figures.circuit_quality import completeness_figure, keep_curve, minimality_figure, random_circuits_figure
from vitro.figures.clean_answers import clean_answers
from vitro.figures.curve_choices import curve_choices
from vitro.figures.direct import direct_heads, direct_layers
from vitro.figures.edge_curves import NO_SEARCH, edge_curves
from vitro.figures.edges import EDGE_NAME, edge_agreement, strongest_edges
from vitro.figures.final_attention import circuit_attention, final_attention
from vitro.figures.found_circuit import found_circuit
from vitro.figures.head_effects import head_effects
from vitro.figures.head_lens import head_lens
from vitro.figures.ladder import ladder_rungs
from vitro.figures.ladder_wirings import ladder_wirings
from vitro.figures.layer_lens import layer_lens
from vitro.figures.mlp_effects import mlp_effects
from vitro.figures.mlp_local import mlp_local
from vitro.figures.patching import patching_heatmaps
from vitro.figures.pins import pins
from vitro.figures.search_steps import search_steps
from vitro.figures.spec import Figure, Spec, to_html, to_json, to_spec, to_svg, unchecked
from vitro.figures.steering import steering
from vitro.figures.successors import eigenvalue_figure, successor_scores, successor_words
from vitro.figures.tokens import readable
from vitro.figures.top_tokens import head_top_tokens, layer_top_tokens, stream_top_tokens
from vitro.figures.vega import DrawingError

__all__ = [
    "EDGE_NAME",
    "NO_SEARCH",
    "DrawingError",
    "Figure",
    "Spec",
    "answer_tables",
    "atlas_answers",
    "atlas_depths",
    "atlas_overlaps",
    "atlas_seconds",
    "atlas_sizes",
    "atlas_training",
    "attention_patterns",
    "circuit_answers",
    "circuit_attention",
    "circuit_drawing",
    "clean_answers",
    "completeness_figure",
    "curve_choices",
    "direct_heads",
    "direct_layers",
    "edge_agreement",
    "edge_curves",
    "eigenvalue_figure",
    "final_attention",
    "found_circuit",
    "head_effects",
    "head_lens",
    "head_top_tokens",
    "keep_curve",
    "ladder_rungs",
    "ladder_wirings",
    "layer_lens",
    "layer_top_tokens",
    "minimality_figure",
    "mlp_effects",
    "mlp_local",
    "patching_heatmaps",
    "pins",
    "random_circuits_figure",
    "readable",
    "search_steps",
    "steering",
    "stream_top_tokens",
    "strongest_edges",
    "successor_scores",
    "successor_words",
    "to_html",
    "to_json",
    "to_spec",
    "to_svg",
    "unchecked",
]
