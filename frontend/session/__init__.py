"""State of one browser session: identity, page state, drafts."""
