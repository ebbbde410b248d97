unit_test(storage storage)
unit_test(tree layer_worker)
