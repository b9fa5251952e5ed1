404 page not found
