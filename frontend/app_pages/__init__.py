"""A folder for each page.

Not named `pages`: Streamlit takes a folder of that name for its own and then knows no other address.
"""
