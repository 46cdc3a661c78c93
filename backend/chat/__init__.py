"""Chat on base models and on what was trained: what is asked, how it reaches a server beside a GPU, what comes back."""
