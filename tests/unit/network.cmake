unit_test(inet4 network)
unit_test(ipam network)
unit_test(ports network)
unit_test(nat network)
