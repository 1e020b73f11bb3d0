"""All routes under `/_sim`: control and overview."""

from starlette.routing import Route

from simulator.rest.control import ControlRoutes
from simulator.rest.overview import OverviewRoutes
from simulator.rest.sim_parts import SimParts


def sim_routes(parts: SimParts) -> list[Route]:
    """The routes over these parts."""
    return [*ControlRoutes(parts).routes(), *OverviewRoutes(parts).routes()]
