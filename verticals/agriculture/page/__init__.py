"""The Streamlit parts of the agronomists' page, which its `app.py` puts together."""
