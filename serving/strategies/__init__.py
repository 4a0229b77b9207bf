"""How a task is asked: with examples, with room to think, or several times and by vote.

A task chooses in its task.yaml under `prompting` (components/task.py); nothing is zero-shot. They
apply where a client asks for the task by name and sends no system message of its own.
"""
