"""Jobs and portals as users see them, wherever they look."""
