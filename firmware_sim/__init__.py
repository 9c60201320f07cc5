"""Meters that behave and misbehave: register maps filled with physical values, served over real wires."""
