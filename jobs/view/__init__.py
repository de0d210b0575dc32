"""Jobs and portals as everybody sees them."""
