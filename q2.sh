P="steps=128;batch=4"
python h.py 705,627,656,839 "$P" "$P;init=0.35" "$P;init=0.35;growend=0.8" "$P;skip=0.25" "$P;skip=1.0" "$P;wide=2.0" "$P;crop=0.5" "$P;lr=1.0" "$P;noise=0.15" > /tmp/pics3/d.log 2>&1
