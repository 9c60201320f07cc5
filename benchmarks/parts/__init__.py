"""The forged histories of ``dishonest``."""
