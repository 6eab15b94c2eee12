"""What the proxies' access logs tell about requests, for `lugsail requests`.

line      one line of an access log, as fields        joiner    client's and server's lines of one hop, in order
formats   access log formats, read backwards          routes    which rule a request took, told offline
flags     response flags in words                     peers     who has which address
select    which hops are wanted                       show      a hop as text or as JSON

All of it is pure: lines, dumps and the time arrive as arguments. Logs are read by lugsail.lab, the rest is asked for
by lugsail.cli.requests.
"""
