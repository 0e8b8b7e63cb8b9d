"""The raster grid, country polygons, rasterising and points in countries."""
