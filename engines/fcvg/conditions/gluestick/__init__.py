"""GlueStick: lines of two pictures, matched by a network that sees points and lines as one wireframe."""
