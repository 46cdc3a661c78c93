"""What belongs to one browser session: identity, page state, drafts."""
