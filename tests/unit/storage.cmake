unit_test(storage storage)
unit_test(blobs storage)
unit_test(tree layer_worker)
unit_test(ring layer_worker)
