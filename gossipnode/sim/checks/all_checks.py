def judge(h): return []
