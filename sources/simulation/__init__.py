"""The ground that all simulators stand on: a clock that can run faster, fault switches, and a server.

A simulator is a real aiohttp application with its upstream's real paths, over a world that moves by itself.
Simulators are part of the product: the demo runs on them.
"""

from sources.simulation.clock import Clock, World
from sources.simulation.faults import Edit, Faults
from sources.simulation.serving import CLOCK, FAULTS, REQUESTS, WORLD, Running, Simulator, serve, simulator_app

__all__ = [
    "CLOCK",
    "FAULTS",
    "REQUESTS",
    "WORLD",
    "Clock",
    "Edit",
    "Faults",
    "Running",
    "Simulator",
    "World",
    "serve",
    "simulator_app",
]
