"""The playground: a Gradio app with tabs to train a small network, to fool a network, and to dream on a photo.

Importing this package imports nothing else; `playground` needs the extra `inputopt[app]`.
"""
