"""The main job, live: a guest that can't converge, and a policy that makes it."""
