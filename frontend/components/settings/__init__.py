"""The sections of the page Settings: each draws one of them for the person who is signed in."""
