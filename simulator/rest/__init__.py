"""Kite Connect's REST routes over exchange and market, a file for each resource, and the control routes under `/_sim`.

user, orders, portfolio, margins, gtt, alerts, mutual_funds    over the exchange
authorisations                                                 sales of holdings, authorised by the user (428 before)
quotes, historical, instruments                                over the market
control, control_input, overview, sim_routes, sim_parts        `/_sim`: what tests and users of the simulator need
auth                                                           the session of a request
request_limits, replay_header, outermost                       middleware
"""
