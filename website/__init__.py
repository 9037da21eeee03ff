"""The site: landing page, lessons, guide, reference and gallery, built from the repository. `make site` builds it."""
