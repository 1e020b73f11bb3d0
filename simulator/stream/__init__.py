"""The ticker WebSocket: binary packets, sockets with their subscriptions, and the loop that feeds them."""
