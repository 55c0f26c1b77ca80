"""Records of the requests that a DFSP sends while the hub certifies it (`portal.certification`)."""
