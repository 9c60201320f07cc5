"""The wires of the simulated plant: a pseudo-terminal line and Modbus TCP."""
