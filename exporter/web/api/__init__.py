"""The REST API: `catalogue` lists its operations, `handlers` carry them out, `application` puts them together.

All else is made of that list: the routes, with what is asked of a request (`routing`), and the document (`openapi`).
"""
