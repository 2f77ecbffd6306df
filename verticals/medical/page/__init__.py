"""The Streamlit parts of the clinicians' page, which its `app.py` puts together."""
