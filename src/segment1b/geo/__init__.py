"""The raster grid, country polygons, rasterising and point-in-country tests."""
