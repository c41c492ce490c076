"""Do the audits agree on what a variant values?"""
